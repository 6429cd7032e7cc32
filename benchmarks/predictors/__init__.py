"""Other predictors in the place of the codec's, for experiments: an LSTM, no trunk, an oracle; in no archive."""
