# The set-up in Terraform. Written by `npm run docs` (scripts/examples.ts).

terraform {
  required_providers {
    kong = { source = "kevholditch/kong" }
  }
}

variable "kong_admin_url" {
  type    = string
  default = "http://localhost:8001"
}

provider "kong" {
  kong_admin_uri = var.kong_admin_url
}

resource "kong_service" "service" {
  name     = "my-service"
  protocol = "http"
  host     = "my-service.internal"
  port     = 8080
}

resource "kong_route" "route" {
  name       = "my-route"
  service_id = kong_service.service.id
  protocols  = ["http", "https"]
  paths      = ["/my"]
}

resource "kong_consumer" "anonymous" {
  username = "anonymous"
}

resource "kong_plugin" "refuse" {
  name        = "request-termination"
  consumer_id = kong_consumer.anonymous.id
  config_json = jsonencode({
    status_code = 403
    message     = "Sign in first."
  })
}

resource "kong_plugin" "sign_in" {
  name     = "key-auth"
  route_id = kong_route.route.id
  config_json = jsonencode({
    anonymous        = "anonymous"
    hide_credentials = true
  })
}

resource "kong_plugin" "sessions" {
  name     = "session-guard"
  route_id = kong_route.route.id
  config_json = jsonencode({
    secret  = "{vault://env/session-secret}"
    storage = "kong"
    postgres = {
      url = "{vault://env/session-database-url}"
    }
  })
}
