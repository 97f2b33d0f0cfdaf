# Every command of this project. `make` lists them; each is a line of shell or a script in
# scripts/, so that they can be run without make.

export CARGO_TERM_COLOR ?= auto
OPENAPI_OUTPUT_FILE ?= target/openapi.json
COMPOSE ?= docker compose

.DEFAULT_GOAL := help
.PHONY: help run test verify bench bench-parts bench-instructions chaos test-examples seed migrate openapi ui lint fmt tools services-up services-down

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

run: ui ## Start the server on http://localhost:8000, with the dashboard if Node is here
	cargo run --release -p nexo-dashboard

test: ## Run everything that has to pass: format, lints, tests, documentation, examples
	scripts/test

bench: ## Measure a release build beside its limits and aims (5 minutes)
	scripts/bench

bench-parts: ## Measure parts of Nexo by themselves, beside peers (minutes)
	scripts/with-postgres cargo bench --locked -p nexo-bench

bench-instructions: ## Count the instructions of the adapters, beside native ones (minutes)
	scripts/bench-instructions

chaos: ## Kill servers, stop them, restart their database, and check what they promise (minutes)
	scripts/chaos

verify: ## Run the tests with the full counts of every property and fault test (long)
	scripts/verify

test-examples: ## Start each example and talk to it
	scripts/test-examples

seed: ## Make a user and an app to try things with
	cargo run --release -p nexo-dashboard -- seed

migrate: ## Bring the database of DATABASE_URL to this version's schema
	cargo run --release -p nexo-dashboard -- migrate

openapi: ## Write the OpenAPI document to OPENAPI_OUTPUT_FILE
	OPENAPI_OUTPUT_FILE=$(abspath $(OPENAPI_OUTPUT_FILE)) cargo run -p nexo-dashboard -- openapi

ui: ## Build the dashboard's pages, if Node is here
	scripts/ui

lint: ## Check format, lints, dependencies and documentation
	scripts/lint

fmt: ## Format the code
	cargo fmt --all

tools: ## Install what the checks need and is missing
	scripts/tools

services-up: ## Start PostgreSQL (5432, and 5433 for tests) and a mail catcher (1025, 8025)
	$(COMPOSE) up --detach --wait postgres postgres-test mailpit

services-down: ## Stop them
	$(COMPOSE) --profile test down
