"""What models are measured with: reports, code lengths byte by byte, scores, samples. Nothing here is needed to decode."""
