"""A training loop fed by loader workers, in virtual time: what the search is tested and benchmarked on."""
