"""Learn other data beforehand, which both ends then share."""

ORDER = 70
OVERVIEW = "learn other text beforehand       lmzip prior train old/*.log -o nginx.prior"
EXAMPLES = """\
examples:
  lmzip prior train old/*.log -o nginx.prior   learns the logs → nginx.prior; nginx.lmz, from which it can be rebuilt
  lmzip encode --prior nginx.prior new.log     → new.log.lmz, smaller by what the prior knows
  lmzip decode --prior-path . new.log.lmz      looks for the prior in this folder
  lmzip prior build nginx.lmz -o nginx.prior   the same prior, bit for bit, from the compressed logs alone
  lmzip prior list                             what can be found

An archive made with a prior opens only where that prior is: it is named in the archive by its digest. Priors are looked
for in --prior-path, $LMZIP_PRIOR_PATH, the package and ~/.cache/lmzip/priors. A prior is data, never code; but it
holds its corpus' text. An archive's size without its prior is conditional: `lmzip info` shows what it costs with it.
"""
