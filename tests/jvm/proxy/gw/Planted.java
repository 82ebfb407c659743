package gw;

import java.util.concurrent.atomic.AtomicLong;

/** The mistakes that are made on purpose, and how often each was made. */
public final class Planted {
    public static final boolean LEAKING = Boolean.getBoolean("gw.leaking");
    public static final int EVERY = Integer.getInteger("gw.every", 1000);
    public static final AtomicLong CACHED = new AtomicLong();
    public static final AtomicLong AUDITED = new AtomicLong();
    public static final AtomicLong HELD = new AtomicLong();

    private Planted() {}

    /** Is the mistake number `which` (of three) made with this request? */
    public static boolean hits(Exchange exchange, int which) {
        return LEAKING && exchange.number % EVERY == which;
    }

    static String counts() {
        return "cached=" + CACHED + " audited=" + AUDITED + " held=" + HELD;
    }
}
