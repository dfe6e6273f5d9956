# Agent and hub in one small image.
#
#   docker build -t masv-agent .
#   docker run -v masv:/var/lib/masv-agent -v /srv/drop:/srv/drop masv-agent
#
# What is downloaded is what Cargo.lock names, in one step; the build itself has no network. The base images are named by tag, not by
# digest: you build the image yourself, and a digest that is written here would keep a base system without its security updates.
# Where builds must be repeatable, pin what you have tested: --build-context debian:bookworm-slim=docker-image://debian@sha256:...
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
# The downloads are kept between builds.
RUN --mount=type=cache,target=/usr/local/cargo/registry cargo fetch --locked
COPY migrations migrations
COPY systemd systemd
COPY launchd launchd
COPY docs docs
COPY rules.example.yaml ./
RUN --network=none --mount=type=cache,target=/usr/local/cargo/registry cargo build --profile dist --locked --offline --bin masv

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/masv-agent --shell /usr/sbin/nologin masv \
    && install -d -m 700 -o masv -g masv /var/lib/masv-agent /var/lib/masv-hub
COPY --from=build /build/target/dist/masv /usr/bin/masv
USER masv
ENV MASV_DATA_DIR=/var/lib/masv-agent MASV_HUB_DATA_DIR=/var/lib/masv-hub MASV_LOG_LEVEL=info
VOLUME ["/var/lib/masv-agent", "/var/lib/masv-hub"]
# SIGTERM lets transfers in flight finish.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/masv"]
CMD ["server", "start"]
