package agent;

/** Says something on both streams, starts a thread, and ends with the status it is told. */
public final class Hello {
    public static void main(String[] args) throws Exception {
        Thread thread = new Thread(() -> System.out.println("hello from a thread"));
        thread.start();
        thread.join();
        System.err.println("told " + System.getProperty("told", "nothing"));
        System.exit(Integer.parseInt(args[0]));
    }
}
