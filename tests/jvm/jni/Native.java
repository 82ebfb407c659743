/**
 * Takes blocks of the C library through a native library of its own, and keeps them all:
 * Native LIBRARY COUNT BYTES. Then it waits for the end of its input.
 */
public final class Native {
    private static native void keep(int bytes);

    /** Calls task.run(). */
    private static native void call(Runnable task);

    private static void directly(int count, int bytes) {
        for (int i = 0; i < count; i++) {
            keep(bytes); // directly
        }
    }

    private static void back(int count, int bytes) {
        for (int i = 0; i < count; i++) {
            call(() -> { // called
                keep(bytes); // called back
            });
        }
    }

    public static void main(String[] arguments) throws Exception {
        System.load(arguments[0]);
        int count = Integer.parseInt(arguments[1]);
        int bytes = Integer.parseInt(arguments[2]);
        directly(count, bytes); // main, directly
        back(count, bytes); // main, back
        System.out.println("ready");
        System.in.read();
    }
}
