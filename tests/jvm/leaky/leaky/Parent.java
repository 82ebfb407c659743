package leaky;

/** Does what Leaky does, and has a second virtual machine do it too. */
public final class Parent {
    public static void main(String[] args) throws Exception {
        Process child = new ProcessBuilder(System.getProperty("java.home") + "/bin/java",
            "-Dio.netty.leakDetection.level=disabled", "-cp", args.length > 0
            ? args[0] : System.getProperty("java.class.path"), "leaky.Leaky").inheritIO().start();
        int status = child.waitFor();
        Leaky.main(args);
        System.exit(status);
    }
}
