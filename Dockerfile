# Kong with session-guard:             docker build -t kong-session-guard .
# The plugin server for a sidecar:     docker build -t session-guard --target server .
# The demo portal of docker-compose:   docker build -t session-guard-portal --target portal .

# Its Node becomes the executable: it must not need a newer C library than the images below have.
ARG NODE_IMAGE=node:24-bookworm-slim
ARG KONG_IMAGE=kong:3.9
ARG SERVER_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM dependencies AS build
COPY tsconfig.json ./
COPY scripts/bundle.ts scripts/
COPY scripts/executable scripts/executable
COPY lib lib
RUN npm run bundle -- --prefix root

# Only for the demo in docker-compose.yml: the two upstreams and the set-up through the Admin API.
FROM dependencies AS portal
COPY tsconfig.json ./
COPY test/support/admin.ts test/support/
COPY test/support/portal test/support/portal
COPY test/support/demo test/support/demo
USER node
EXPOSE 3000 3001
CMD ["node", "--import", "tsx", "test/support/portal/portal.ts"]

# A container of its own beside an unchanged Kong. Both need the same user, since nobody else may use the socket:
# 1000 is the one that Kong's Helm chart sets.
FROM ${SERVER_IMAGE} AS server
COPY --from=build /build/root/ /usr/local/
RUN ["/usr/local/bin/session-guard-server", "-dump"]
RUN install --directory --owner=1000 --group=1000 --mode=700 /run/session-guard
USER 1000:1000
CMD ["/usr/local/bin/session-guard-server", "--socket", "/run/session-guard/server.socket"]

FROM ${KONG_IMAGE} AS kong
USER root
COPY --from=build /build/root/ /usr/local/
COPY nginx/session-guard-http.conf /usr/local/etc/session-guard-http.conf
USER kong
# All that kong.conf needs; everything else is Kong's default for a server of this name.
ENV KONG_PLUGINS="bundled,session-guard" \
    KONG_PLUGINSERVER_NAMES="session-guard-server" \
    KONG_NGINX_PROXY_UNDERSCORES_IN_HEADERS="off" \
    KONG_NGINX_HTTP_INCLUDE="/usr/local/etc/session-guard-http.conf"
# An image in which the executable does not run is not built.
RUN ["/usr/local/bin/session-guard-server", "-dump"]
