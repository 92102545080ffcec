# The two commands that need nothing are in README.md; these are for working on
# the project.
.PHONY: test race ci lint fmt bench bench-quick conformance soak accumulate

test: ## what README's test command runs
	go run ./internal/testall

race: ## everything but the Apache legs, with the race detector
	go run ./internal/testall -race -apache off

ci: ## what a change must pass
	./.ci/run

fmt:
	gofmt -w $$(git ls-files '*.go')

lint: ## vet and staticcheck
	go vet ./...
	go -C tools build -o ../.cache/bin/ honnef.co/go/tools/cmd/staticcheck && .cache/bin/staticcheck ./...

bench: ## both clients on both servers, interleaved, 9 minutes: docs/bench.md
	go run ./bench -doc docs/bench.md

bench-quick: ## the same in short, to see that everything works; writes nothing
	go run ./bench -quick

conformance: ## every case on every server, into docs/conformance.md
	ROCKETKIT_APACHE=1 go test -count=1 ./conformance -update

soak: ## what takes too long for every change: an hour and more
	go test -count=1 -v -timeout 90m -run SurvivesEveryPowerCut ./broker-lite -crash-seeds 200
	ROCKETKIT_SOCKFUZZ=10m go test -count=1 -v -timeout 20m -run HostilePeers ./broker-lite
	ROCKETKIT_KILL_ROUNDS=50 go test -count=1 -v -timeout 60m -run TestAKilledServer ./conformance
	ROCKETKIT_APACHE=1 go test -tags soak -count=1 -v -timeout 30m -run TestFailoverOnApache ./conformance
	ROCKETKIT_MEMBERS=60s go test -count=1 -v -timeout 20m -run TestMembersCome ./conformance
	go run ./bench -accumulate 10000000 -body 100

accumulate: ## 100 million messages in one queue: 40 GB in the directory for temporary files
	go run ./bench -accumulate 100000000 -body 100
