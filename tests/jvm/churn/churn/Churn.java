package churn;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.function.IntUnaryOperator;

/**
 * Does the same work in class after class: each comes by a loader of its own, is compiled, and is
 * collected with its code, whose place the next one's takes. Arguments: threads, classes for each.
 */
public final class Churn {
    private static final int COLLECT_EVERY = 16;

    /** Defines Work anew; everything else is its parent's. */
    private static final class Loader extends ClassLoader {
        Loader() {
            super(Churn.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith("churn.Work"))
                return super.loadClass(name, resolve);
            Class<?> known = findLoadedClass(name);
            if (known != null)
                return known;
            byte[] code = read(name.replace('.', '/') + ".class");
            return defineClass(name, code, 0, code.length);
        }

        private byte[] read(String path) throws ClassNotFoundException {
            try (InputStream in = getParent().getResourceAsStream(path)) {
                ByteArrayOutputStream all = new ByteArrayOutputStream();
                byte[] part = new byte[4096];
                for (int n = in.read(part); n > 0; n = in.read(part))
                    all.write(part, 0, n);
                return all.toByteArray();
            } catch (IOException e) {
                throw new ClassNotFoundException(path, e);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        int classes = Integer.parseInt(args[1]);
        Thread[] threads = new Thread[Integer.parseInt(args[0])];
        long[] sums = new long[threads.length];
        for (int i = 0; i < threads.length; i++) {
            int mine = i;
            threads[i] = new Thread(() -> sums[mine] = churn(mine, classes), "churn-" + i);
            threads[i].start();
        }
        for (Thread thread : threads)
            thread.join();
        System.out.println("sums " + java.util.Arrays.toString(sums));
    }

    private static long churn(int seed, int classes) {
        long sum = 0;
        for (int i = 0; i < classes; i++) {
            sum += once(seed + i);
            if (i % COLLECT_EVERY == 0)
                System.gc();
        }
        return sum;
    }

    private static long once(int seed) {
        try {
            IntUnaryOperator work = (IntUnaryOperator) Class
                .forName("churn.Work", true, new Loader()).getDeclaredConstructor().newInstance();
            return work.applyAsInt(seed);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }
}
