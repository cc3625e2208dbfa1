"""What ``tapedeck init`` writes: a commented configuration for Binance's spot sandbox."""

TEMPLATE = """\
# tapedeck's configuration. Unknown keys are errors. Secrets never stand here: only the names of the variables that hold them.

[run]
name = "live"                 # prefix of topics, Postgres schema, archive folder: one per deployment
home = ".tapedeck"            # services, state, logs, archive, reports
replication_factor = 1        # 3 on a real cluster (with min.insync.replicas=2)
cancel_on_stop = true         # a clean stop cancels what rests at the venue

[venues.binance]              # a venue is a configured instance of an adapter
adapter = "binance"
sandbox = true                # the venue's test network; false trades with real money
# rest_url = ""               # other addresses, for a simulated exchange
# instruments = ["binance:ETH-USDT"]   # to record beside what strategies subscribe to

[accounts."binance.main"]     # <venue>.<name>
api_key_env = "BINANCE_API_KEY"        # or BINANCE_API_KEY_FILE, naming a file
api_secret_env = "BINANCE_API_SECRET"
reporting_currency = "USDT"

[strategies.quoter]
class = "strategies.two_sided_quoter:TwoSidedQuoter"
account = "binance.main"
instruments = ["binance:BTC-USDT"]
# bars = ["time-1s"]          # which bars reach its inbox
[strategies.quoter.params]
order_qty = "0.001"           # base units, each side
max_qty = "0.005"             # the position, long or short, that fills may take it to

# A check whose limit no scope supplies denies; of those that do, the strictest counts.
# These seed what the controls topic does not hold yet; 'tapedeck limits' changes them.
[[limits]]
scope = "firm"                # or venue:VENUE, account:ACCOUNT, strategy:NAME, instrument:VENUE:BASE-QUOTE
price_collar = "0.02"         # how far from the mid a price may lie, as a fraction
max_order_value = "1000"      # quote currency
max_position_value = "5000"   # quote currency, open orders counted as if filled
max_orders_per_second = "10"
max_data_age = "2"            # seconds since the last mark was received

[gateway]
port = 0                      # gRPC; 0 takes a free one, written to <home>/runs/<run>/gateway.<account>.json
reconcile_every_s = 10

# [stages]
# snapshot_every_s = 300      # how often a stage's whole state goes to the tape, so that a replay can begin there; 0 is never
"""
