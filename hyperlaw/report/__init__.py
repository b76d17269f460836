"""Reports: a decision as one HTML file that opens offline, prints, and answers "what if" by itself."""
