/* fake_launcher LIBJVM: makes a machine with two options and keeps three blocks of its own. */
#include <dlfcn.h>
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>

static void *kept[3];

int main(int argc, char **argv)
{
    JavaVMOption options[] = {{.optionString = (char *)"-Da=b"}, {.optionString = (char *)"-Dc=d"}};
    JavaVMInitArgs args = {.version = JNI_VERSION_1_8, .nOptions = 2, .options = options};
    JavaVM *machine = NULL;
    void *env = NULL;
    jint (*create)(JavaVM **, void **, void *) = NULL;
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    for (size_t i = 0; i < 3; i++)
        kept[i] = malloc(1000);
    if (library)
        *(void **)&create = dlsym(library, "JNI_CreateJavaVM");
    if (!create || create(&machine, &env, &args) != JNI_OK)
        return 1;
    printf("made with %d options of mine\n", (int)args.nOptions);
    return args.options == options && kept[2] ? 0 : 1;
}
