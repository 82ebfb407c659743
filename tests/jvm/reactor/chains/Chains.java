package chains;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.time.Duration;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Hooks;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/**
 * Three routes that keep each body and never give it back, and one that does. The operators that do it call library
 * code alone, on another thread than the one that assembled them: no stack has a line of this file.
 * Usage: Chains none|debug|checkpoint COUNT
 */
public final class Chains {
    private static final Scheduler SCHEDULER = Schedulers.newSingle("route");

    private static Flux<ByteBuf> bodies(int count) {
        return Flux.range(0, count).map(i -> PooledByteBufAllocator.DEFAULT.buffer(1024)).publishOn(SCHEDULER);
    }

    /** The checkpoint comes after the retain. */
    private static Flux<ByteBuf> orders(int count, boolean named) {
        Flux<ByteBuf> kept = bodies(count).map(ByteBuf::retain); // orders
        return named ? kept.checkpoint("route orders") : kept;
    }

    /** The checkpoint comes before it, and nothing after. */
    private static Flux<ByteBuf> users(int count, boolean named) {
        Flux<ByteBuf> bodies = bodies(count);
        return (named ? bodies.checkpoint("route users") : bodies).map(ByteBuf::retain); // users
    }

    /** The checkpoint comes with the second operator after it, and has a line. */
    private static Flux<ByteBuf> items(int count, boolean named) {
        Flux<ByteBuf> kept = bodies(count).hide().map(ByteBuf::retain).filter(ByteBuf::isWritable); // items
        return named ? kept.checkpoint("route items", true) : kept; // items named
    }

    private static void run(Flux<ByteBuf> route) {
        route.doOnNext(ByteBuf::release).blockLast(Duration.ofSeconds(60));
    }

    public static void main(String[] arguments) {
        boolean named = arguments[0].equals("checkpoint");
        int count = Integer.parseInt(arguments[1]);
        if (arguments[0].equals("debug")) {
            Hooks.onOperatorDebug();
        }
        run(orders(count, named));
        run(users(count, named));
        run(items(count, named));
        run(bodies(count));
        SCHEDULER.dispose();
    }
}
