# haproxy: a transaction is a request and its response.

request haproxy http_destroy_txn
