package settings

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLS has the settings of a TLS client.
type TLS struct {
	On         bool
	CAFile     string
	CertFile   string
	KeyFile    string
	ServerName string
}

// Declare declares the settings, with group in front of their keys.
func (t *TLS) Declare(s *Settings, group string) {
	s.Toggle(&t.On, group+"tls", false, "use TLS")
	s.Text(&t.CAFile, group+"tls_ca_file", "", "PEM file with the authorities to trust instead of the system's")
	s.Text(&t.CertFile, group+"tls_cert_file", "", "PEM file with the client's certificate")
	s.Text(&t.KeyFile, group+"tls_key_file", "", "PEM file with the client's key")
	s.Text(&t.ServerName, group+"tls_server_name", "", "name that the server's certificate must have")
}

// Load makes the TLS configuration; nil when TLS is off.
func (t *TLS) Load(s *Settings, group string) (*tls.Config, error) {
	if !t.On {
		return nil, t.checkUnused(s, group)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pool, err := certificates(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name(group+"tls_ca_file"), err)
		}
		config.RootCAs = pool
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.Name(group+"tls_cert_file"), s.Name(group+"tls_key_file"), err)
		}
		s.warnIfReadable(group+"tls_key_file", t.KeyFile)
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// checkUnused is the error of a setting that needs TLS while TLS is off.
func (t *TLS) checkUnused(s *Settings, group string) error {
	for _, setting := range [][2]string{{"tls_ca_file", t.CAFile}, {"tls_cert_file", t.CertFile}, {"tls_key_file", t.KeyFile}, {"tls_server_name", t.ServerName}} {
		if key := group + setting[0]; setting[1] != "" {
			return fmt.Errorf("%s: is given for TLS, but TLS is off; turn it on with --%s", s.Name(key), FlagName(group+"tls"))
		}
	}
	return nil
}

// certificates reads a file of authorities.
func certificates(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}
