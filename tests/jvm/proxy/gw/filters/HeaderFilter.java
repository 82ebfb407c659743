package gw.filters;

import gw.Exchange;
import gw.Filter;

/** Correct. */
public final class HeaderFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        exchange.request.headers().set("x-gateway", "bufleak-test");
    }
}
