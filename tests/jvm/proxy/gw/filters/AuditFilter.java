package gw.filters;

import gw.Exchange;
import gw.Filter;
import gw.Planted;
import io.netty.buffer.ByteBuf;

/** Looks at the body; what it throws passes by the release. */
public final class AuditFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        ByteBuf seen = exchange.body().retain(); // audited here
        check(exchange, seen);
        seen.release();
    }

    private static void check(Exchange exchange, ByteBuf seen) {
        if (Planted.hits(exchange, 2)) {
            Planted.AUDITED.incrementAndGet();
            throw new IllegalArgumentException("refused after " + seen.readableBytes() + " bytes");
        }
    }
}
