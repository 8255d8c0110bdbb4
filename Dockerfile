# Kong with session-guard:      docker build -t kong-session-guard .
# The demo portal beside it:    docker build -t session-guard-portal --target portal .

ARG NODE_IMAGE=node:20-bookworm-slim
ARG KONG_IMAGE=kong:3.9

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM dependencies AS build
COPY tsconfig.json tsconfig.build.json ./
COPY lib lib
COPY plugins plugins
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

# Only for the demo in docker-compose.yml: the two upstreams and the set-up through the Admin API.
FROM dependencies AS portal
COPY tsconfig.json ./
COPY test/support/portal test/support/portal
COPY test/support/demo test/support/demo
USER node
EXPOSE 3000 3001
CMD ["node", "--import", "tsx", "test/support/portal/portal.ts"]

FROM ${KONG_IMAGE} AS kong
USER root
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /build/package.json /usr/local/lib/session-guard/package.json
COPY --from=build /build/node_modules /usr/local/lib/session-guard/node_modules
COPY --from=build /build/dist /usr/local/lib/session-guard/dist
USER kong
# The lines of kong.conf.example. Absolute paths: Kong's children have no PATH. With a KONG_IMAGE before 3.8 the query
# command needs `--protocol msgpack` after `-dump`.
ENV KONG_PLUGINS="bundled,session-guard" \
    KONG_PLUGINSERVER_NAMES="session-guard-server" \
    KONG_PLUGINSERVER_SESSION_GUARD_SERVER_START_CMD="/usr/local/bin/node /usr/local/lib/session-guard/dist/lib/server/main.js" \
    KONG_PLUGINSERVER_SESSION_GUARD_SERVER_QUERY_CMD="/usr/local/bin/node /usr/local/lib/session-guard/dist/lib/server/main.js -dump" \
    KONG_PLUGINSERVER_SESSION_GUARD_SERVER_SOCKET="/usr/local/kong/session-guard-server.socket" \
    KONG_NGINX_PROXY_UNDERSCORES_IN_HEADERS="off"
# An image whose Node does not run, or whose plugin does not load, is not built.
RUN ["/usr/local/bin/node", "/usr/local/lib/session-guard/dist/lib/server/main.js", "-dump"]
