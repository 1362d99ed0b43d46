"""`ask.py URL`: exit status 0 where it answers with 200; a health check without a further program."""

import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=4) as answer:
    sys.exit(0 if answer.status == 200 else 1)
