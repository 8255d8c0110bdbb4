#!/bin/sh
# The set-up through the Admin API. Written by `npm run docs` (scripts/examples.ts).
set -eu
admin=${KONG_ADMIN_URL:-http://localhost:8001}

post() {
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' --data "$2" "$admin$1"
  echo
}

post /services '{
  "name": "my-service",
  "url": "http://my-service.internal:8080"
}'

post /services/my-service/routes '{
  "name": "my-route",
  "paths": [
    "/my"
  ]
}'

post /consumers '{
  "username": "anonymous"
}'

post /consumers/anonymous/plugins '{
  "name": "request-termination",
  "config": {
    "status_code": 403,
    "message": "Sign in first."
  }
}'

post /routes/my-route/plugins '{
  "name": "key-auth",
  "config": {
    "anonymous": "anonymous",
    "hide_credentials": true
  }
}'

post /routes/my-route/plugins '{
  "name": "session-guard",
  "config": {
    "secret": "{vault://env/session-secret}",
    "storage": "kong",
    "postgres": {
      "url": "{vault://env/session-database-url}"
    }
  }
}'
