package gateway;

import java.util.concurrent.atomic.AtomicLong;
import org.springframework.cloud.gateway.filter.GatewayFilterChain;
import org.springframework.cloud.gateway.filter.GlobalFilter;
import org.springframework.core.Ordered;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * Reads the body whole, so that the filters behind it can read it again: the request that goes on
 * carries a slice of what was joined. The joined buffer is retained for that, and nobody gives this
 * reference back.
 */
class CacheBodyFilter implements GlobalFilter, Ordered {
    static final AtomicLong JOINED = new AtomicLong();
    private final boolean fixed;

    CacheBodyFilter(boolean fixed) {
        this.fixed = fixed;
    }

    @Override
    public int getOrder() {
        return Ordered.HIGHEST_PRECEDENCE + 10;
    }

    @Override
    public Mono<Void> filter(ServerWebExchange exchange, GatewayFilterChain chain) {
        if (exchange.getRequest().getHeaders().getContentLength() <= 0)
            return chain.filter(exchange);
        return DataBufferUtils.join(exchange.getRequest().getBody()).flatMap(joined -> {
            JOINED.incrementAndGet();
            DataBufferUtils.retain(joined); // cached here
            Flux<DataBuffer> cached =
                Flux.defer(() -> Flux.just(joined.slice(0, joined.readableByteCount())));
            ServerHttpRequest again = new ServerHttpRequestDecorator(exchange.getRequest()) {
                @Override
                public Flux<DataBuffer> getBody() {
                    return cached;
                }
            };
            Mono<Void> rest = chain.filter(exchange.mutate().request(again).build());
            return fixed ? rest.doFinally(signal -> DataBufferUtils.release(joined)) // given back here
                         : rest;
        });
    }
}
