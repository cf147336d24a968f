#!/bin/sh
# Measures Tasklog and other queues in turns; see docs/performance.md. Arguments go to services/tasklog/bench.
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

go build -C asynq -o "$dir/asynq" .
set -- -peer "asynq=$dir/asynq" "$@"

if command -v node >/dev/null && command -v npm >/dev/null; then
	cp bullmq/package.json bullmq/peer.js "$dir"
	npm install --prefix "$dir" --no-audit --no-fund --loglevel error >&2
	set -- "$@" -peer "bullmq=node $dir/peer.js"
else
	echo "BullMQ is left out: it needs node and npm, and they are not both on the PATH" >&2
fi

cd ../..
go run ./services/tasklog/bench "$@"
