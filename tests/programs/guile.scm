;; SPDX-License-Identifier: MIT
;;
;; A small Scheme inside Scheme: programs are written to a file, read back line by
;; line and as data, analysed into closures and run; values live in hash tables,
;; vectors and association lists that grow old while they are changed. Prints
;; checksums only.
(use-modules (ice-9 rdelim) (ice-9 hash-table) (srfi srfi-1))

(define file (cadr (command-line)))
(define rounds (string->number (caddr (command-line))))

;; ---- A reproducible source of numbers ----
(define state 12345)
(define (next n)
  (set! state (modulo (+ (* state 1103515245) 12345) 2147483648))
  (modulo (quotient state 65536) n))

;; ---- The inner language ----
(define (analyse form)
  (cond
   ((symbol? form) (lambda (env) (let ((b (assq form env))) (if b (cdr b) (error "unbound" form)))))
   ((not (pair? form)) (lambda (env) form))
   (else
    (case (car form)
      ((if)
       (let ((test (analyse (cadr form))) (yes (analyse (caddr form))) (no (analyse (cadddr form))))
         (lambda (env) (if (test env) (yes env) (no env)))))
      ((fn)
       (let ((names (cadr form)) (body (analyse (caddr form))))
         (lambda (env) (lambda args (body (append (map cons names args) env))))))
      ((let)
       (let ((name (cadr form)) (value (analyse (caddr form))) (body (analyse (cadddr form))))
         (lambda (env)
           (let ((cell (cons name #f)))
             (set-cdr! cell (value (cons cell env)))
             (body (cons cell env))))))
      (else
       (let ((f (analyse (car form))) (args (map analyse (cdr form))))
         (lambda (env) (apply (f env) (map (lambda (a) (a env)) args)))))))))

(define primitives
  (list (cons '+ +) (cons '- -) (cons '* *) (cons '< <) (cons 'list list) (cons 'car car)
        (cons 'cdr cdr) (cons 'cons cons) (cons 'null? null?) (cons 'append append)))

(define sorter
  '(let pick (fn (p l) (if (null? l) (list) (if (p (car l)) (cons (car l) (pick p (cdr l))) (pick p (cdr l)))))
     (let sort (fn (l)
                 (if (null? l) (list)
                     (append (sort (pick (fn (x) (< x (car l))) (cdr l)))
                             (cons (car l) (sort (pick (fn (x) (if (< x (car l)) #f #t)) (cdr l)))))))
       (sort numbers))))

(define (write-programs n)
  (call-with-output-file file
    (lambda (port)
      (do ((i 0 (+ i 1))) ((= i n))
        (write (map (lambda (k) (next 1000)) (iota 40)) port)
        (newline port)))))

(define (run-programs)
  (let ((run (analyse sorter)))
    (call-with-input-file file
      (lambda (port)
        (let loop ((line (read-line port)) (sum 0))
          (if (eof-object? line)
              sum
              (let ((sorted (run (acons 'numbers (call-with-input-string line read) primitives))))
                (loop (read-line port)
                      (modulo (fold (lambda (x acc) (+ x (* 3 acc))) sum sorted) 1000003)))))))))

;; ---- Old data that changes ----
(define words (make-hash-table))
(define table (make-vector 40000 '()))

(define (churn n)
  (do ((i 0 (+ i 1))) ((= i n))
    (let ((k (next 40000)))
      (vector-set! table k (cons (list i k (number->string i))
                                 (let ((l (vector-ref table k))) (if (> (length l) 6) (take l 3) l))))
      (hash-set! words (number->string (next 30000)) (vector-ref table (next 40000))))))

(define (checksum)
  (let ((sum 0))
    (do ((k 0 (+ k 1))) ((= k 40000))
      (for-each (lambda (e) (set! sum (modulo (+ (* 31 sum) (car e) (cadr e) (string-length (caddr e))) 1000000007)))
                (vector-ref table k)))
    (list sum (hash-count (lambda (k v) #t) words)
          (hash-fold (lambda (k v acc) (modulo (+ acc (length v) (string->number k)) 1000000007)) 0 words))))

(write-programs 60)
(do ((i 0 (+ i 1))) ((= i rounds))
  (churn 60000)
  (let* ((a (run-programs)) (b (checksum)))
    (display (list i a b))
    (newline)))
