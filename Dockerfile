FROM rust:1.95-slim-trixie AS build
# For the dashboard's pages.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nodejs npm \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /nexo
COPY . .
RUN scripts/ui
RUN cargo build --locked --profile dist -p nexo-dashboard

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /var/lib/nexo --create-home nexo
COPY --from=build /nexo/target/dist/nexo-dashboard /usr/local/bin/nexo-dashboard
USER nexo
WORKDIR /var/lib/nexo
# Only the port is published, so listening on every address of the container is right.
ENV DATA_DIR=/var/lib/nexo HOST=0.0.0.0 PORT=8000
VOLUME /var/lib/nexo
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD curl --fail --silent --show-error --output /dev/null "http://127.0.0.1:${PORT}/healthz"
ENTRYPOINT ["nexo-dashboard"]
