"""Looking from inside a workload: names, ports, pages and policies as its own processes meet them."""
