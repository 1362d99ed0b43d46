"""The Scrapy spider that collects the register."""
