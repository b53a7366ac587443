"""What ``tools/bench_peers.py`` is made of: the table of cases, workers, and the page that is written."""
