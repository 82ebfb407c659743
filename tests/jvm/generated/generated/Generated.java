package generated;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.Array;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.function.Consumer;
import net.bytebuddy.ByteBuddy;
import net.bytebuddy.dynamic.loading.ClassLoadingStrategy;
import net.bytebuddy.implementation.SuperMethodCall;
import net.bytebuddy.matcher.ElementMatchers;

/**
 * Forgets references through classes that are made as it runs, whose names are of chance or number.
 * Argument: how many such classes are made before.
 */
public class Generated {
    public interface Handler {
        void handle(ByteBuf body);
    }

    public static class Keeper implements Handler {
        @Override
        public void handle(ByteBuf body) {
            keepSubclassed(body);
        }
    }

    /** Its copy is a hidden class, where there are such. */
    public static class Hidden implements Consumer<ByteBuf> {
        @Override
        public void accept(ByteBuf body) {
            body.retain();
        }
    }

    static void keepProxied(ByteBuf body) {
        body.retain();
    }

    static void keepSubclassed(ByteBuf body) {
        body.retain();
    }

    static void keepInLambda(ByteBuf body) {
        body.retain();
    }

    private static Handler proxy(Class<?> also) {
        return (Handler) Proxy.newProxyInstance(Generated.class.getClassLoader(), new Class<?>[] {Handler.class, also},
            (self, method, arguments) -> {
                keepProxied((ByteBuf) arguments[0]);
                return null;
            });
    }

    private static Handler subclass() throws Exception {
        return new ByteBuddy().subclass(Keeper.class).method(ElementMatchers.named("handle"))
            .intercept(SuperMethodCall.INSTANCE).make()
            .load(Generated.class.getClassLoader(), ClassLoadingStrategy.Default.WRAPPER)
            .getLoaded().getConstructor().newInstance();
    }

    private static byte[] codeOf(Class<?> type) throws Exception {
        ByteArrayOutputStream code = new ByteArrayOutputStream();
        try (InputStream in = type.getResourceAsStream(type.getName().replaceAll(".*\\.", "") + ".class")) {
            for (int next = in.read(); next >= 0; next = in.read())
                code.write(next);
        }
        return code.toByteArray();
    }

    @SuppressWarnings("unchecked")
    private static Consumer<ByteBuf> hidden() throws Exception {
        Method define;
        Class<?> options;
        try {
            options = Class.forName("java.lang.invoke.MethodHandles$Lookup$ClassOption");
            define = MethodHandles.Lookup.class.getMethod("defineHiddenClass", byte[].class, boolean.class,
                Array.newInstance(options, 0).getClass());
        } catch (ClassNotFoundException before15) {
            return new Hidden();
        }
        MethodHandles.Lookup made = (MethodHandles.Lookup) define.invoke(MethodHandles.lookup(), codeOf(Hidden.class),
            true, Array.newInstance(options, 0));
        return (Consumer<ByteBuf>) made.lookupClass().getConstructor().newInstance();
    }

    private static void send(Consumer<ByteBuf> to) {
        for (int i = 0; i < 200; i++) {
            ByteBuf body = PooledByteBufAllocator.DEFAULT.directBuffer(64).writeInt(i);
            if (i % 20 == 0)
                to.accept(body);
            body.release();
        }
    }

    public static void main(String[] args) throws Exception {
        Class<?>[] others = {Runnable.class, Cloneable.class, Comparable.class, Readable.class, CharSequence.class};
        for (int i = 0; i < Integer.parseInt(args[0]); i++) {
            proxy(others[i]);
            subclass();
            hidden();
        }
        Handler proxied = proxy(AutoCloseable.class);
        Handler subclassed = subclass();
        Consumer<ByteBuf> inHidden = hidden();
        Consumer<ByteBuf> inLambda = body -> keepInLambda(body);
        send(proxied::handle);
        send(subclassed::handle);
        send(inHidden);
        send(inLambda);
    }
}
