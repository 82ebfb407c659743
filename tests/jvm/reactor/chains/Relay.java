package chains;

import java.util.function.BooleanSupplier;

/**
 * Who makes the bodies of a route. Else it is a matter of chance: the thread that subscribes makes as many as
 * publishOn asks for at first, and goes on if it is asked for more before it has made the last one; when it has left,
 * the thread of the route makes the others. Here each waits for the other where that matters.
 */
final class Relay {
    /** What publishOn asks for at first, and again whenever so many were used. */
    private static final int FIRST = 256;
    private static final int NEXT = 192;

    private final Thread subscriber = Thread.currentThread();
    private final int asked;
    private int used;
    private boolean hasSubscribed;

    /** @param asked how often the subscriber is asked for more */
    Relay(int asked) {
        this.asked = asked;
    }

    /** Before the body is made. The subscriber makes the last one that was asked for after more was asked for. */
    synchronized void make(int number) {
        boolean isSubscriber = Thread.currentThread() == subscriber;
        if (isSubscriber != number < FIRST + NEXT * asked) {
            throw new IllegalStateException("body " + number + " is made by " + Thread.currentThread());
        }
        int enough = Math.min(number - (FIRST - 1 - NEXT) + 1, NEXT * asked + 1);
        await(() -> !isSubscriber || used >= enough);
    }

    /** When the body is used. Then the route asks for more, the last time after the subscriber has left. */
    synchronized void use() {
        used++;
        notifyAll();
        await(() -> used < NEXT * (asked + 1) || hasSubscribed);
    }

    synchronized void leave() {
        hasSubscribed = true;
        notifyAll();
    }

    private void await(BooleanSupplier condition) {
        try {
            while (!condition.getAsBoolean()) {
                wait();
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
