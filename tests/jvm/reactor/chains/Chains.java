package chains;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Hooks;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/**
 * Three routes that keep each body and never give it back, and one that does. The operators that do it call library
 * code alone, on another thread than the one that assembled them: no stack has a line of this file.
 * Usage: Chains none|debug|checkpoint COUNT [ASKED ASKED ASKED ASKED], see Relay; else who makes them is left to chance
 */
public final class Chains {
    private static final Scheduler SCHEDULER = Schedulers.newSingle("route");

    private static Relay relay;

    private static ByteBuf body(int number) {
        if (relay != null) {
            relay.make(number);
        }
        return PooledByteBufAllocator.DEFAULT.buffer(1024);
    }

    private static Flux<ByteBuf> bodies(int count) {
        return Flux.range(0, count).map(Chains::body).publishOn(SCHEDULER);
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

    private static void run(Flux<ByteBuf> route, String asked) throws Exception {
        Flux<ByteBuf> used = route.doOnNext(ByteBuf::release);
        if (asked == null) {
            used.blockLast(Duration.ofSeconds(60));
            return;
        }
        CompletableFuture<Void> done = new CompletableFuture<>();
        relay = new Relay(Integer.parseInt(asked));
        used.subscribe(body -> relay.use(), done::completeExceptionally, () -> done.complete(null));
        relay.leave();
        done.get(60, TimeUnit.SECONDS);
    }

    public static void main(String[] arguments) throws Exception {
        boolean named = arguments[0].equals("checkpoint");
        int count = Integer.parseInt(arguments[1]);
        if (arguments[0].equals("debug")) {
            Hooks.onOperatorDebug();
        }
        String[] asked = Arrays.copyOfRange(arguments, 2, 6);
        run(orders(count, named), asked[0]);
        run(users(count, named), asked[1]);
        run(items(count, named), asked[2]);
        run(bodies(count), asked[3]);
        SCHEDULER.dispose();
    }
}
