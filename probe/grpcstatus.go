package probe

import (
	"fmt"
	"net/http"
	"strconv"
)

// grpcStatus is the end of a call that failed, in gRPC's words.
type grpcStatus struct {
	code    int
	message string
}

func (s *grpcStatus) Error() string {
	return fmt.Sprintf("rpc error: code = %s desc = %s", codeName(s.code), s.message)
}

// Some of gRPC's codes, https://grpc.github.io/grpc/core/md_doc_statuscodes.html.
const (
	grpcOK               = 0
	grpcUnknown          = 2
	grpcDeadlineExceeded = 4
	grpcPermissionDenied = 7
	grpcUnimplemented    = 12
	grpcInternal         = 13
	grpcUnavailable      = 14
	grpcUnauthenticated  = 16
)

var codeNames = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
	"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
	"DataLoss", "Unauthenticated",
}

func codeName(code int) string {
	if code >= 0 && code < len(codeNames) {
		return codeNames[code]
	}
	return fmt.Sprintf("Code(%d)", code)
}

// httpStatus is what an answer without a gRPC status means
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func httpStatus(code int) error {
	s := &grpcStatus{grpcUnknown, fmt.Sprintf("unexpected HTTP status code received from server: %d (%s)", code, http.StatusText(code))}
	switch code {
	case http.StatusBadRequest:
		s.code = grpcInternal
	case http.StatusUnauthorized:
		s.code = grpcUnauthenticated
	case http.StatusForbidden:
		s.code = grpcPermissionDenied
	case http.StatusNotFound:
		s.code = grpcUnimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		s.code = grpcUnavailable
	case http.StatusOK:
		s.message = "server closed the stream without sending trailers"
		s.code = grpcInternal
	}
	return s
}

// The ServingStatus of a HealthCheckResponse.
const serviceServing = 1

func servingName(status uint64) string {
	names := [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}
	if status < uint64(len(names)) {
		return names[status]
	}
	return strconv.FormatUint(status, 10)
}
