"""The benchmarks. Each is one command and prints ratios, made in one run on one machine.

python -m bench             all of them
python -m bench stages      what an event costs on its way through the door, stage by stage
python -m bench ingest      single events and batches of 100 against an endpoint that only reads and answers
python -m bench naive       single events against an endpoint that commits each event, and posts each
python -m bench dispatch    deliveries to a local sink
python -m bench slow        healthy clients beside a thousand slow connections
python -m bench abuse       what bodies cost that are made to cost
python -m bench overload    ten times what can be taken: goodput, latency, memory, loss
python -m bench disk        bytes on disk for each event
"""
