package webapps;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.ref.WeakReference;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;

/**
 * Has an application that brings its own Netty, as servers of applications do, and replaces it by a
 * new one for each line that it reads. Argument: the application's class path.
 */
public final class Server {
    private static URLClassLoader current;

    private Server() {}

    /** In a thread of its own, so that what Netty keeps for each thread ends with it. */
    private static void serve() throws Exception {
        Method work = current.loadClass("deployed.Deployed").getMethod("work", boolean.class);
        Thread thread = new Thread(() -> {
            try {
                work.invoke(null, true);
            } catch (ReflectiveOperationException wrong) {
                throw new IllegalStateException(wrong);
            }
        });
        thread.setContextClassLoader(null);
        thread.start();
        thread.join();
    }

    private static void undeploy() throws Exception {
        WeakReference<URLClassLoader> former = new WeakReference<>(current);
        current.close();
        current = null;
        while (former.get() != null)
            System.gc();
    }

    public static void main(String[] args) throws Exception {
        String[] path = args[0].split(File.pathSeparator);
        URL[] urls = new URL[path.length];
        for (int i = 0; i < path.length; i++)
            urls[i] = new File(path[i]).toURI().toURL();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = ""; line != null; line = in.readLine()) {
            if (line.equals("undeploy")) {
                undeploy();
            } else {
                current = new URLClassLoader(urls, ClassLoader.getSystemClassLoader().getParent());
                serve();
            }
            System.out.println("done");
        }
    }
}
