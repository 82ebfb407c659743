/*
 * embedder LIBJVM CLASSPATH CLASS: a program that has a Java virtual machine inside, and calls the
 * main method of a class in it. With EMBEDDER_LINKED it is linked with libjvm (LIBJVM is ignored),
 * else it opens that file.
 */
#include <dlfcn.h>
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef jint creator(JavaVM **, void **, void *);

static creator *find_creator(const char *path)
{
    creator *create = NULL;
#ifdef EMBEDDER_LINKED
    (void)path;
    create = JNI_CreateJavaVM;
#else
    void *library = dlopen(path, RTLD_NOW);
    if (library)
        *(void **)&create = dlsym(library, "JNI_CreateJavaVM");
#endif
    return create;
}

static int call_main(JNIEnv *env, const char *name)
{
    jclass class = (*env)->FindClass(env, name);
    jclass text = (*env)->FindClass(env, "java/lang/String");
    if (!class || !text)
        return 1;
    jmethodID main_method = (*env)->GetStaticMethodID(env, class, "main", "([Ljava/lang/String;)V");
    jobjectArray none = (*env)->NewObjectArray(env, 0, text, NULL);
    if (!main_method || !none)
        return 1;
    (*env)->CallStaticVoidMethod(env, class, main_method, none);
    return (*env)->ExceptionCheck(env) ? 1 : 0;
}

int main(int argc, char **argv)
{
    char class_path[8192] = "-Djava.class.path=";
    char level[] = "-Dio.netty.leakDetection.level=disabled"; /* or Netty's own may say something */
    JavaVMOption options[] = {{.optionString = class_path}, {.optionString = level}};
    JavaVMInitArgs args = {.version = JNI_VERSION_1_8, .nOptions = 2, .options = options};
    JavaVM *machine = NULL;
    void *env = NULL;
    creator *create = argc == 4 ? find_creator(argv[1]) : NULL;
    if (!create)
        return 2;
    strncat(class_path, argv[2], sizeof class_path - strlen(class_path) - 1);
    if (create(&machine, &env, &args) != JNI_OK)
        return 3;
    if (args.options != options || args.nOptions != 2)
        return 4;
    int status = call_main(env, argv[3]);
    (*machine)->DestroyJavaVM(machine);
    return status;
}
