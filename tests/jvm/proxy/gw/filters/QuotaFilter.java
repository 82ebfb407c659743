package gw.filters;

import gw.Exchange;
import gw.Filter;

/** Correct. */
public final class QuotaFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        exchange.body().retain(2);
        exchange.body().release(2);
    }
}
