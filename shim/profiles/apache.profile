# The Apache HTTP server: a request is logged when all of its response has been sent.

request apache2 ap_run_log_transaction
request httpd ap_run_log_transaction
