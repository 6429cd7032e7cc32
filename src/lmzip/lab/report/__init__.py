"""`lmzip report`: what was paid for what, measured, drawn and put on one page.

measure.py   the figures, as one dictionary that goes to JSON
contexts.py  what each context of the experts is worth
peers.py     other compressors beside ours
plots.py     the figures drawn, as SVG
page.py      the page, page.html its template
"""
