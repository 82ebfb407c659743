package buffers;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.UnpooledByteBufAllocator;
import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;

/**
 * Copies of Netty in class loaders of their own, more than there are places for what is known of
 * one. Argument: how many. Each forgets ten of 500 references.
 */
public final class Loaders {
    private Loaders() {}

    public static void work() {
        for (int i = 1; i <= 500; i++) {
            ByteBuf body = UnpooledByteBufAllocator.DEFAULT.directBuffer(100).writeInt(i);
            if (i % 50 == 0)
                body.retain(); // forgotten here
            body.release();
        }
    }

    public static void main(String[] args) throws Exception {
        String[] path = System.getProperty("java.class.path").split(File.pathSeparator);
        URL[] urls = new URL[path.length];
        for (int i = 0; i < path.length; i++)
            urls[i] = new File(path[i]).toURI().toURL();
        for (int i = 0; i < Integer.parseInt(args[0]); i++)
            new URLClassLoader(urls, ClassLoader.getSystemClassLoader().getParent())
                .loadClass(Loaders.class.getName()).getMethod("work").invoke(null);
    }
}
