"""A local stand-in for the public register, so that the harvester has something real to crawl."""
