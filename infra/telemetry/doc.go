// Package telemetry is how a Tasklog process tells people and machines how it fares: a logger, a
// registry of metrics, and a small server with /healthz, /readyz and /metrics for the services
// that serve no HTTP of their own.
package telemetry
