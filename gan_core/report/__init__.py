"""The report: a site of pages that can be read without a server or a network."""
