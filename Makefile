BORDERS = cid-bytes cid-text dag-cbor dag-json dag-pb unixfs car car-v2 ipns bitswap kad kad-response \
	identify multiaddr multiaddr-text peer-id-text public-key multistream noise noise-message yamux \
	deal deal-request
BORDER ?= $(BORDERS)
SECONDS ?= 600

.PHONY: fuzz
fuzz: ## Fuzz each border for SECONDS (pip install 'holdfast[fuzz]')
	for border in $(BORDER); do python -m tests.fuzz.borders $$border -max_total_time=$(SECONDS) || exit 1; done
