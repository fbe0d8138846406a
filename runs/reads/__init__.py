"""What pages and lists show: reads only, each bounded, each in a fixed number of queries."""
