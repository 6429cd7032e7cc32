"""What models are measured with: reports, costs byte by byte, scores, samples. Nothing here is needed to decode."""
