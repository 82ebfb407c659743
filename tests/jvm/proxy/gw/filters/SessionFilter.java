package gw.filters;

import gw.Exchange;
import gw.Filter;
import gw.Planted;
import io.netty.buffer.ByteBuf;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Puts some bodies into a map that nobody empties. */
public final class SessionFilter implements Filter {
    private static final Map<Long, ByteBuf> SESSIONS = new ConcurrentHashMap<>();

    @Override
    public void apply(Exchange exchange) {
        SESSIONS.put(exchange.number, exchange.body().retain()); // held here
        if (Planted.hits(exchange, 3)) {
            Planted.HELD.incrementAndGet();
            return;
        }
        SESSIONS.remove(exchange.number).release();
    }
}
