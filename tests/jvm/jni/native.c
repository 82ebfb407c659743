/* The native half of Native.java. */
#include <jni.h>
#include <stdlib.h>
#include <string.h>

JNIEXPORT void JNICALL Java_Native_keep(JNIEnv *env, jclass class, jint bytes);
JNIEXPORT void JNICALL Java_Native_call(JNIEnv *env, jclass class, jobject task);

__attribute__((noinline)) static void *take(size_t bytes)
{
    void *block = malloc(bytes); // taken here
    if (block)
        memset(block, 1, bytes);
    return block;
}

static struct kept {
    void *block;
    struct kept *next;
} * kept;

JNIEXPORT void JNICALL Java_Native_keep(JNIEnv *env, jclass class, jint bytes)
{
    struct kept *one = malloc(sizeof *one);
    (void)env;
    (void)class;
    if (!one)
        return;
    one->block = take((size_t)bytes); // kept here
    one->next = kept;
    kept = one;
}

JNIEXPORT void JNICALL Java_Native_call(JNIEnv *env, jclass class, jobject task)
{
    jclass type = (*env)->GetObjectClass(env, task);
    jmethodID run = (*env)->GetMethodID(env, type, "run", "()V");
    (void)class;
    if (run)
        (*env)->CallVoidMethod(env, task, run);
}
