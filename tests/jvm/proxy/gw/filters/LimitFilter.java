package gw.filters;

import gw.Exchange;
import gw.Filter;

/** Correct. */
public final class LimitFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        if (exchange.body().retain().readableBytes() > 1 << 20)
            exchange.request.headers().set("x-large", "1");
        exchange.body().release();
    }
}
