# One static binary, and nothing else that runs. Which service it is says the command: api, worker, …
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
ENV GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.release=$VERSION" -o /tasklog ./services/tasklog

# It brings certificate authorities and time zones, a user that is not root, and no shell.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /tasklog /tasklog
ENTRYPOINT ["/tasklog"]
# Asks the service at TASKLOG_HEALTH_ADDR or TASKLOG_ADDR; where neither is set, whether Redis answers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/tasklog", "health"]
