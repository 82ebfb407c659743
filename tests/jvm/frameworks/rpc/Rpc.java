package rpc;

import io.grpc.CallOptions;
import io.grpc.Detachable;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.buffer.ByteBuf;
import io.grpc.netty.shaded.io.netty.buffer.ByteBufAllocator;
import io.grpc.netty.shaded.io.netty.util.IllegalReferenceCountException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.util.Iterator;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A service and its clients. The service keeps messages where the transport has put them, as those do
 * that want no copy, and has buffers of its own. Says how often each mistake was made.
 */
public final class Rpc {
    private static final boolean LEAKING = Boolean.getBoolean("leaking");
    private static final int CALLS = Integer.getInteger("calls", 1000);
    private static final int EVERY = 50;
    private static final int SMALL = 400;
    private static final int LARGE = 100_000;
    private static final int REPLIES = 20;

    private static final AtomicLong DETACHED = new AtomicLong();
    private static final AtomicLong FORGOTTEN = new AtomicLong();
    private static final AtomicLong HELD = new AtomicLong();
    private static final AtomicLong THROWN = new AtomicLong();
    private static final AtomicLong TWICE = new AtomicLong();
    private static final AtomicLong WRONG = new AtomicLong();

    private static final Map<Long, ByteBuf> HISTORY = new ConcurrentHashMap<>();
    private static final AtomicLong served = new AtomicLong();

    private Rpc() {}

    private static boolean hits(long number, int which) {
        return LEAKING && number % EVERY == which;
    }

    /** Reads the first bytes of a message and gives the rest back unread. */
    private static final class Marshaller implements MethodDescriptor.Marshaller<byte[]> {
        private static final AtomicLong parsed = new AtomicLong();

        @Override
        public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                if (stream.available() != SMALL)
                    return stream.readAllBytes();
                InputStream own = ((Detachable) stream).detach();
                byte[] message = new byte[SMALL];
                own.read(message, 0, 16);
                if (hits(parsed.incrementAndGet(), 7))
                    DETACHED.incrementAndGet();
                else
                    own.close(); // @detached
                return message;
            } catch (IOException why) {
                throw new UncheckedIOException(why);
            }
        }
    }

    private static MethodDescriptor<byte[], byte[]> method(String name, MethodDescriptor.MethodType type) {
        return MethodDescriptor.<byte[], byte[]>newBuilder().setType(type)
            .setFullMethodName(MethodDescriptor.generateFullMethodName("rpc.Echo", name))
            .setRequestMarshaller(new Marshaller()).setResponseMarshaller(new Marshaller()).build();
    }

    private static final MethodDescriptor<byte[], byte[]> ONCE =
        method("Once", MethodDescriptor.MethodType.UNARY);
    private static final MethodDescriptor<byte[], byte[]> OFTEN =
        method("Often", MethodDescriptor.MethodType.SERVER_STREAMING);

    private static void once(byte[] message, StreamObserver<byte[]> out) {
        long number = served.incrementAndGet();
        ByteBuf copy = ByteBufAllocator.DEFAULT.buffer(256); // @forgotten
        copy.writeBytes(message, 0, 200);
        remember(copy, number);
        try {
            verify(copy, number);
        } catch (IllegalArgumentException why) {
            // it is answered all the same
        }
        if (hits(number, 3))
            FORGOTTEN.incrementAndGet();
        else
            copy.release();
        if (hits(number, 9))
            twice();
        out.onNext(new byte[message.length + 1]);
        out.onCompleted();
    }

    private static void remember(ByteBuf copy, long number) {
        HISTORY.put(number, copy.retainedSlice(0, 8)); // @held
        if (hits(number, 4))
            HELD.incrementAndGet();
        else
            HISTORY.remove(number).release();
    }

    private static void verify(ByteBuf copy, long number) {
        ByteBuf seen = copy.retain(); // @thrown
        if (hits(number, 5)) {
            THROWN.incrementAndGet();
            throw new IllegalArgumentException("refused");
        }
        seen.release();
    }

    private static void twice() {
        ByteBuf own = ByteBufAllocator.DEFAULT.buffer(32);
        own.release();
        try {
            own.release(); // @twice
        } catch (IllegalReferenceCountException why) {
            TWICE.incrementAndGet();
        }
    }

    private static void often(byte[] message, StreamObserver<byte[]> out) {
        for (int i = 0; i < REPLIES; i++)
            out.onNext(new byte[message.length + 1]);
        out.onCompleted();
    }

    /** A small message goes alone, so that there is one buffer of the transport for each. */
    private static void call(ManagedChannel channel, int number, boolean isSmall) {
        byte[] message = new byte[isSmall ? SMALL : number % EVERY == 0 ? LARGE : 2 * SMALL];
        int wanted = message.length + 1;
        if (isSmall || number % 10 != 1) {
            if (ClientCalls.blockingUnaryCall(channel, ONCE, CallOptions.DEFAULT, message).length != wanted)
                WRONG.incrementAndGet();
            return;
        }
        Iterator<byte[]> all =
            ClientCalls.blockingServerStreamingCall(channel, OFTEN, CallOptions.DEFAULT, message);
        int right = 0;
        while (all.hasNext())
            if (all.next().length == wanted)
                right++;
        if (right != REPLIES)
            WRONG.incrementAndGet();
    }

    private static void load(ManagedChannel channel, int count, boolean isSmall) throws Exception {
        AtomicInteger left = new AtomicInteger(CALLS);
        Thread[] callers = new Thread[count];
        for (int i = 0; i < count; i++) {
            callers[i] = new Thread(() -> {
                for (int n = left.decrementAndGet(); n >= 0; n = left.decrementAndGet())
                    call(channel, n, isSmall);
            });
            callers[i].start();
        }
        for (Thread caller : callers)
            caller.join();
    }

    public static void main(String[] args) throws Exception {
        ExecutorService executor = Executors.newFixedThreadPool(4);
        Server server = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0)).executor(executor)
            .addService(ServerServiceDefinition.builder("rpc.Echo")
                .addMethod(ONCE, ServerCalls.asyncUnaryCall(Rpc::once))
                .addMethod(OFTEN, ServerCalls.asyncServerStreamingCall(Rpc::often)).build())
            .build().start();
        ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", server.getPort())
            .usePlaintext().executor(executor).build();
        load(channel, 1, true);
        load(channel, 4, false);
        channel.shutdown().awaitTermination(20, TimeUnit.SECONDS);
        server.shutdown().awaitTermination(20, TimeUnit.SECONDS);
        executor.shutdown();
        System.out.println("wrong=" + WRONG + " detached=" + DETACHED + " forgotten=" + FORGOTTEN
            + " held=" + HELD + " thrown=" + THROWN + " twice=" + TWICE);
    }
}
