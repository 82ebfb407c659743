# Apache Traffic Server 9, the plugin API: functions of the executable, called by plugins.

request traffic_server _ZN6HttpSM7destroyEv

class ts-iobuffer
    library traffic_server
    end destroy
    alloc   TSIOBufferCreate       handle=result
    alloc   TSIOBufferSizedCreate  handle=result
    destroy TSIOBufferDestroy      handle=arg1

class ts-iobuffer-reader
    library traffic_server
    end destroy
    # a buffer's readers end with it
    alloc   TSIOBufferReaderAlloc  handle=result owner=arg1
    # of the same buffer
    alloc   TSIOBufferReaderClone  handle=result owner-of=arg1
    destroy TSIOBufferReaderFree   handle=arg1

class ts-mbuffer
    library traffic_server
    end destroy
    alloc   TSMBufferCreate   handle=result
    destroy TSMBufferDestroy  handle=arg1

# Every TSMLoc that one of these hands out is to be given back by TSHandleMLocRelease. That of a field
# is made anew each time; that of a header or URL is the same each time, so its references are
# counted.
class ts-mloc
    library traffic_server
    adopts
    end zero
    alloc   TSMimeHdrFieldFind                handle=result
    alloc   TSMimeHdrFieldGet                 handle=result
    alloc   TSMimeHdrFieldNext                handle=result
    alloc   TSMimeHdrFieldNextDup             handle=result
    # TSMimeHdrFieldClone calls it
    alloc   TSMimeHdrFieldCreate              handle=*arg3 when=zero
    alloc   TSMimeHdrFieldCreateNamed         handle=*arg5 when=zero
    retain  TSHttpTxnClientReqGet             handle=*arg3 when=zero
    retain  TSHttpTxnClientRespGet            handle=*arg3 when=zero
    retain  TSHttpTxnServerReqGet             handle=*arg3 when=zero
    retain  TSHttpTxnServerRespGet            handle=*arg3 when=zero
    retain  TSHttpTxnCachedReqGet             handle=*arg3 when=zero
    retain  TSHttpTxnCachedRespGet            handle=*arg3 when=zero
    retain  TSHttpTxnCachedRespModifiableGet  handle=*arg3 when=zero
    retain  TSHttpTxnTransformRespGet         handle=*arg3 when=zero
    retain  TSHttpTxnPristineUrlGet           handle=*arg3 when=zero
    retain  TSHttpAltInfoClientReqGet         handle=*arg3 when=zero
    retain  TSHttpAltInfoCachedReqGet         handle=*arg3 when=zero
    retain  TSHttpAltInfoCachedRespGet        handle=*arg3 when=zero
    retain  TSHttpHdrCreate                   handle=result
    retain  TSHttpHdrClone                    handle=*arg4 when=zero
    retain  TSHttpHdrUrlGet                   handle=*arg3 when=zero
    retain  TSMimeHdrCreate                   handle=*arg2 when=zero
    retain  TSMimeHdrClone                    handle=*arg4 when=zero
    retain  TSUrlCreate                       handle=*arg2 when=zero
    retain  TSUrlClone                        handle=*arg4 when=zero
    release TSHandleMLocRelease               handle=arg3
