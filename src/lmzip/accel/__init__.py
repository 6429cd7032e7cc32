"""What makes lmzip faster and changes no bit: nothing here is needed to decode, or sent."""
